"""The command line `agentrun`.  Heavy modules are imported by the commands that need them."""
