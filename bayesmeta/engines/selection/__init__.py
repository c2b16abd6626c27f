"""Models of how results came to be reported: weights of p-values and slopes on study size, integrated without sampling.

Outside is the lattice of heterogeneity and effect (or slope), the same that serves normal models. Inside it:

- `weight_rule`: the weights of a selection model, by Gauss-Legendre on a window that is found first. With
  ``omega_j = v_j omega_(j+1)`` prior and counts are a monomial in v, and in ``u = sqrt(v)`` the poles of the
  normaliser move away.
- `interval_chances`: how probable each interval of p is; for many studies the sum over them is a Gauss rule in their
  log standard errors, so that the cost does not grow with k.
- `places`: what is known at each place of the lattice, and the mixtures of normals it makes.
- `solve`: the way in.
"""
