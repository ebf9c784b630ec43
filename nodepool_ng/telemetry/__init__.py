"""What the daemons tell of themselves: logs, and (later) metrics and traces. It decides nothing."""
