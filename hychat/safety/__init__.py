"""What goes in and what comes out is checked here, on the user's machine."""
