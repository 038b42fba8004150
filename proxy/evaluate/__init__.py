"""Measures a rerank proxy against the engine behind it, with judged queries.

qrels       reads queries and judgements from the formats that people have
searches    builds each query's search and sends it to the engine and through the proxy
measures    nDCG, average precision, reciprocal rank and the interval of a difference
report      the table and the JSON file
command     the options of ``rerank-proxy evaluate`` and its run
"""
