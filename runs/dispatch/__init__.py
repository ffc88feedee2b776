"""The only room that sends messages: admission, the broker's window, compiling and sending a message."""
