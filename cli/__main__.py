"""``python -m cli`` is ``patrol-lpr``."""

from cli.main import main

if __name__ == "__main__":
    main()
