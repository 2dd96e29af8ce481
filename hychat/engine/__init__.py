"""Runs models: in a child process through llama.cpp, or scripted. `protocol` is the door; no other floor knows more."""
