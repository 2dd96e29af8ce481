"""llama.cpp through its C API: the only place that imports llama_cpp, and so only ever imported in the child process."""
