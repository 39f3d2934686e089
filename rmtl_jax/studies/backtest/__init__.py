"""Night after night: new days are added, the model goes on, or starts anew."""
