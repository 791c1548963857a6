"""The loop: completion -> action -> query -> ranking -> measures -> reward."""
