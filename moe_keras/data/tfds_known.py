"""What TensorFlow Datasets' own records leave out: licences, columns' names."""

LICENCES = {
    "fashion_mnist": "MIT",
    "german_credit_numeric": "CC BY 4.0",
    "taiwan_credit_default": "CC BY 4.0",
    "imdb_reviews": "none given: published for research, cite the paper",
}

# Each numeric column is a function of one attribute of the publisher's other
# file, german.data; the last nine are indicators of one of its codes.
_GERMAN = (
    *("status_checking", "duration_months", "credit_history"),
    *("credit_amount_100_dm", "savings", "employment_since"),
    *("personal_status_sex", "residence_since", "property", "age_years"),
    *("other_installment_plans", "existing_credits", "people_liable"),
    *("telephone", "foreign_worker", "purpose_new_car", "purpose_used_car"),
    *("other_debtors_none", "other_debtors_co_applicant"),
    *("housing_rent", "housing_own", "job_unskilled_non_resident"),
    *("job_unskilled_resident", "job_skilled"),
)
_TAIWAN = (
    *("LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE", "PAY_0"),
    *(f"PAY_{month}" for month in range(2, 7)),
    *(f"BILL_AMT{month}" for month in range(1, 7)),
    *(f"PAY_AMT{month}" for month in range(1, 7)),
)
COLUMNS = {"german_credit_numeric": _GERMAN, "taiwan_credit_default": _TAIWAN}
