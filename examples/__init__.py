"""Applications that have their users' content checked. Imports client alone: an application has nothing else."""
