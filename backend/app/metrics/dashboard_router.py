"""`/admin/dashboard`: the figures of the dashboard page as JSON."""

from app.metrics.dashboard import Dashboard
from app.metrics.dependencies import DashboardServiceDep, MetricsReader
from app.metrics.schemas import DashboardRead
from app.metrics.types import Period
from app.routing import api_router

router = api_router("/admin/dashboard", tags=["admin"])


@router.get("", response_model=DashboardRead, summary="Get the dashboard's figures")
async def get_dashboard(
    _actor: MetricsReader, dashboard: DashboardServiceDep, period: Period = Period.DAY
) -> Dashboard:
    """Requests, errors, latencies, jobs, model calls and tokens of a period; the page `/admin/dashboard` shows them."""
    return await dashboard.read(period)
