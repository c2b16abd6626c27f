"""Parts that models of counts are made of: baselines integrated out, counts, tables, cut normals."""
