"""The command line. A command's module is imported when the command is called, and torch when something is built."""
