"""From the files of Hugging Face to GGUF: convert, quantize, inspect, and recipes that repeat it."""
