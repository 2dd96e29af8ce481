"""hychat: chat with Tencent Hunyuan models in the terminal, on this machine."""

__version__ = "0.1.0"
