"""A hospital's workflow as a Streamlit page, over the REST of its own console.

    pip install streamlit plotly httpx
    export AEGIS_CLIENT_URL=http://127.0.0.1:8501 AEGIS_CLIENT_ID=north AEGIS_CLIENT_TOKEN=...
    streamlit run examples/streamlit_app.py

The token is a person's (``POST /api/token``) or this machine's own, in keys/console.token of the
hospital's folder. Everything here the console has too, without Streamlit.
"""

import os

import httpx
import plotly.graph_objects as go
import streamlit as st

CLIENT = os.environ.get("AEGIS_CLIENT_ID", "north")
http = httpx.Client(
    base_url=os.environ.get("AEGIS_CLIENT_URL", "http://127.0.0.1:8501"),
    headers={"Authorization": f"Bearer {os.environ.get('AEGIS_CLIENT_TOKEN', '')}"},
    timeout=600,
)


def ask(method: str, path: str, **said):
    """The answer, or nothing and the reason on the page."""
    answer = http.request(method, path.replace("{id}", CLIENT), **said)
    if answer.is_success:
        return answer.json()
    error = answer.json().get("error", {})
    st.error(error.get("value", answer.text))
    for one in error.get("problems", []):
        st.write(f"row {one['row']}, column {one['column']}: {one['what']}")
    return None


def curves(history: dict) -> go.Figure:
    figure = go.Figure()
    for name in ("accuracy", "val_accuracy", "loss", "val_loss"):
        figure.add_scatter(y=history[name], name=name, mode="lines+markers")
    return figure.update_layout(xaxis_title="Round", height=380)


st.title(f"Aegis at {CLIENT}")
st.caption("Research use only. Rows stay on this hospital's machine.")
train, results, shared, predict = st.tabs(["Train", "Results", "Shared model", "Predict"])

with train:
    file = st.file_uploader("Patients as CSV", type="csv")
    if file is not None and st.button("Upload"):
        form = {"client_id": CLIENT}
        found = ask("POST", "/client/upload-data/", files={"file": file}, data=form)
        if found:
            st.success(f"{found['message']}; to learn from {found['train_shape']}")
    if st.button("Train alone"):
        found = ask("POST", "/client/train/{id}")
        if found:
            st.success(f"Best accuracy on validation rows: {found['best_accuracy']:.3f}")

with results:
    found = ask("GET", "/client/history/{id}")
    if found and found["training_history"]:
        st.plotly_chart(curves(found["training_history"]))
    elif found:
        st.info("No own model yet.")

with shared:
    if st.button("Ask for a round"):
        st.json(ask("POST", "/client/aggregate/") or {})
    status = ask("GET", "/client/global-model-status")
    if status and status["exists"]:
        found = ask("GET", "/client/global-model-metrics")
        if found:
            names = [name for name in ("accuracy", "auc", "f1") if found["global"].get(name)]
            figure = go.Figure()
            for label, model in (("Own", found["local"]), ("Shared", found["global"])):
                if model:
                    figure.add_bar(x=names, y=[model[name] for name in names], name=label)
            st.plotly_chart(figure)
            st.write("Shared minus own, with its interval:", found["difference"])
    elif status:
        st.info(status["reason"])

with predict:
    model = st.radio("Model", ["own", "shared"])
    found = ask("GET", "/client/predict/{id}/test", params={"model": model})
    if found:
        st.metric("Accuracy on test rows", f"{found['accuracy']:.3f}")
        st.plotly_chart(go.Figure(go.Histogram(x=found["probabilities"], nbinsx=20)))
