"""Between web server and Django: receives requests in an event loop, and runs the WSGI application in threads."""
