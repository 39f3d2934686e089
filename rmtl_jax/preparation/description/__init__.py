"""Statistics of prepared data: label rates, drift, unseen values, sessions."""
