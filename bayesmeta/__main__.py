"""``python -m bayesmeta``: the command line."""

from bayesmeta.cli import main

if __name__ == "__main__":
    main()
