"""How a process becomes a daemon and stays one: the command line, the background, the log, the pid file, signals, and
a console for developers. The same for launcher and builder, and nothing of what they are for."""
