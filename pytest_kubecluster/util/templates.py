"""The environment of the package's Jinja templates."""

from __future__ import annotations

import jinja2


def template_environment(package: str, *, html: bool = False) -> jinja2.Environment:
    """Return the environment of the templates in the folder ``templates`` of ``package``.

    With ``html``, values are escaped. A name that a template uses and nobody defines is an error:
    rendering raises jinja2.UndefinedError.
    """
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        undefined=jinja2.StrictUndefined,
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=html,
        keep_trailing_newline=not html,
    )
