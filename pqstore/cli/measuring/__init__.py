"""Times and recall, as the verbs measure them."""
