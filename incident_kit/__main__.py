"""`python -m incident_kit`: the command line."""

from incident_kit.commandline.cli import main

if __name__ == "__main__":
    main()
