"""What is in prepared data: label rates, drift, unseen values, sessions."""
