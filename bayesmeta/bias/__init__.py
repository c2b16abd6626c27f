"""Reporting bias, both schools: averages over ways in which results may have come to be reported."""

from bayesmeta.bias.averages import BiasAveraged as BiasAveraged
from bayesmeta.bias.averages import bias_average as bias_average
from bayesmeta.bias.ensembles import list_ensembles as list_ensembles
from bayesmeta.bias.overview import ReportingBias as ReportingBias
from bayesmeta.bias.overview import reporting_bias as reporting_bias
