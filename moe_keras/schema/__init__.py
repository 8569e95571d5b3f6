"""What the columns of a table are, for models of risk."""

from moe_keras.schema.check import RowError as RowError
from moe_keras.schema.columns import Categorical as Categorical
from moe_keras.schema.columns import Derived as Derived
from moe_keras.schema.columns import Numeric as Numeric
from moe_keras.schema.columns import Ordinal as Ordinal
from moe_keras.schema.columns import Target as Target
from moe_keras.schema.infer import infer_schema as infer_schema
from moe_keras.schema.risk_schema import RiskSchema as RiskSchema
from moe_keras.schema.risk_schema import RowMonotone as RowMonotone
