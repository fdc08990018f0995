"""The board: a page that shows the numbers of the whole cluster, its troubles and their remedies."""
