"""Work with llama.cpp that is no chat: each module's `run` does one task in a process of its own (`hychat.engine.task`)."""
