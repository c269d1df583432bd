"""What the image of a Flex Template starts: turns the template's parameters into a command, and runs it."""

import sys

from pipelines.flex_template import launch

if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
