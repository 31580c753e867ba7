"""What mkdocs does beside its own: notebooks, the project's logs and the reports of replications as pages, pictures of notebooks as files, links that leave the site.

mkdocs loads this file as a hook (mkdocs.yml). Nothing is downloaded.
"""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
LOGS = ("CHANGELOG.md", "LOG.md")
"""Pages that lie beside the folder of the documentation."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made."""
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        text, pictures = page_of(json.loads(path.read_text(encoding="utf-8")), path.stem)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    for name in LOGS:
        files.append(File.generated(config, name.lower(), content=(ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")))
    for path in sorted((ROOT / "replication").glob("*/report.md")):
        folder = f"replication/{path.parent.name}"
        files.append(File.generated(config, f"{folder}/report.md", content=path.read_text(encoding="utf-8")))
        for picture in sorted(path.parent.glob("*.png")):
            files.append(File.generated(config, f"{folder}/{picture.name}", content=picture.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to files of the repository that are no pages are their names in code; those to logs, reports and their pictures lead there."""
    folder = (Path(config["docs_dir"]) / page.file.src_uri).parent

    def link(found: re.Match[str]) -> str:
        text, target = found["text"], found["target"]
        if "://" in target or target.startswith("#"):
            return found[0]
        place = (folder / target.split("#")[0]).resolve()
        if place.parent == ROOT and place.name in LOGS:
            return f"[{text}]({'../' * page.file.src_uri.count('/')}{place.name.lower()})"
        if place.name == "report.md" and place.parent.parent == ROOT / "replication":
            return f"[{text}]({'../' * page.file.src_uri.count('/')}replication/{place.parent.name}/report.md)"
        is_outside = not place.is_relative_to(Path(config["docs_dir"]).resolve())
        return text if is_outside or place.is_dir() else found[0]

    def picture(found: re.Match[str]) -> str:
        place = (folder / found["target"]).resolve()
        if place.parent.parent != ROOT / "replication":
            return found[0]
        return f"![{found['text']}]({'../' * page.file.src_uri.count('/')}replication/{place.parent.name}/{place.name})"

    markdown = re.sub(r"!\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)", picture, markdown)
    return re.sub(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)", link, markdown)


def page_of(notebook: dict[str, Any], stem: str) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and its pictures by name."""
    blocks: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            blocks.append(re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", source))
            continue
        blocks.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = {kind: "".join(content) for kind, content in output.get("data", {}).items()}
            if "text/html" in data:
                # One line: a blank one would end the block, and what follows would be read as Markdown.
                shown = re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.DOTALL)
                blocks.append(f'<div class="output" markdown="0">{" ".join(shown.split())}</div>')
            elif "image/png" in data:
                name = f"{stem}-{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode(data["image/png"])
                blocks.append(f"![Picture of the cell above]({name})")
            else:
                text = "".join(output.get("text", "")) or data.get("text/plain", "")
                blocks.append(f'<pre class="output">{html.escape(text)}</pre>')
    blocks.insert(1, f"*This page is [a notebook]({stem}.ipynb), with what it showed when it was last executed.*")
    return "\n\n".join(blocks) + "\n", pictures
