"""The verbs that every door calls, one file each, and which of them is legal when."""
