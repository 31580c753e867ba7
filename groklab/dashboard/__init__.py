"""Live, read-only web pages over a folder of results: ``groklab dashboard``.

    access → catalog → address → theme → controls → runs, curves, cells, embedding, circuit, sweeps → api → app → server

A page is two functions of the runs and of its address (the query string): its controls, and what they show. What has to be computed
with a network is computed by other processes (``computing``); nothing here imports torch, and nothing here writes to the results.
"""
