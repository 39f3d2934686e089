"""Loss balancers: task weights and combined task gradients, as Optax links."""
