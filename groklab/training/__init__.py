"""How it changes: optimizers, interventions, and the engine that trains."""
