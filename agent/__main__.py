"""``python -m agent`` is ``patrol-lpr``."""

from agent.runtime.cli import main

if __name__ == "__main__":
    main()
