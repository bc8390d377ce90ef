"""Of which of a bucket's objects CloudWatch counts the requests: configurations that moto does not know."""

from __future__ import annotations

import re
from typing import Any

from moto.s3.responses import S3Response

from ml_janitor_sandbox import state
from ml_janitor_sandbox.patches import replaces

OUTER = re.compile(r"<MetricsConfiguration[^>]*>(.*)</MetricsConfiguration>", re.DOTALL)
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

_moto_bucket = S3Response._bucket_response


@replaces("moto.s3.responses:S3Response._bucket_response", was="15b194a31b24")
def bucket(self: Any, request: Any, full_url: str) -> Any:
    """As moto's; and puts and lists configurations of request metrics, 100 to a page at most on AWS."""
    querystring = self._get_querystring(request, full_url)
    if "metrics" not in querystring:
        return _moto_bucket(self, request, full_url)
    with state.LOCK:
        found = self.backend.get_bucket(self.parse_bucket_name_from_url(request, full_url))
        kept: dict[str, str] = found.__dict__.setdefault("request_metrics", {})
        if request.method == "PUT":
            kept[querystring["id"][0]] = OUTER.findall(self.body.decode())[0]
            return 200, {}, ""
        each = "".join(f"<MetricsConfiguration>{one}</MetricsConfiguration>" for one in kept.values())
    root = "ListMetricsConfigurationsResult"
    return f'<{root} xmlns="{NAMESPACE}"><IsTruncated>false</IsTruncated>{each}</{root}>'
