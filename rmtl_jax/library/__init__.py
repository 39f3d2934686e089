"""What Python programs call: a ranker of four lines, studies, reports."""
