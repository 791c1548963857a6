"""What agents learn: trainings over several seeds, and the page `docs/results.md` that is made from them."""
