"""The only sender of messages: admission, the broker's window, compiling a message, sending it."""
