"""What the people who run wxcheck are told: the numbers of the whole cluster, what is wrong, and what to do."""
