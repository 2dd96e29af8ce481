"""The values that flow through hychat: standard library only, frozen, no input or output."""
