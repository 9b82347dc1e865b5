"""OpenAI's client and Hugging Face's against a server: python vectors_client.py ADDRESS"""

import math
import sys
import threading

import openai
from huggingface_hub import InferenceClient

held = 0


def holds(what: bool, said) -> None:
    global held
    assert what, said
    held += 1


def cosine(a, b) -> float:
    return sum(x * y for x, y in zip(a, b))


url = f"http://{sys.argv[1]}"
client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
texts = ["green tea", "black tea", "a garden hose"]

# The client asks for base64 unless told otherwise.
coded = client.embeddings.create(model="all-MiniLM-L6-v2", input=texts)
plain = client.embeddings.create(model="sentence-transformers/all-MiniLM-L6-v2", input=texts, encoding_format="float")
holds([one.index for one in coded.data] == [0, 1, 2], coded)
holds(coded.usage.prompt_tokens == coded.usage.total_tokens > 6, coded.usage)
for a, b in zip(coded.data, plain.data):
    # Decimal digits of f32 and its bits differ beyond the seventh.
    holds(len(a.embedding) == 384 and max(abs(x - y) for x, y in zip(a.embedding, b.embedding)) < 1e-7, (a, b))
    holds(math.isclose(cosine(a.embedding, a.embedding), 1, abs_tol=1e-4), a)
tea, black, hose = (one.embedding for one in plain.data)
holds(cosine(tea, black) > cosine(tea, hose) + 0.2, "teas are alike")
one = client.embeddings.create(model="all-MiniLM-L6-v2", input="green tea", encoding_format="float").data[0].embedding
holds(cosine(one, tea) > 0.9999, "one is one of many")

for wrong in ({"model": "text-embedding-3-small", "input": "x"}, {"model": "all-MiniLM-L6-v2", "input": []}, {"model": "all-MiniLM-L6-v2", "input": "x", "dimensions": 7}):
    try:
        client.embeddings.create(**wrong)
        holds(False, wrong)
    except openai.BadRequestError as why:
        holds(why.body["code"] == "bad_input" and why.body["expected"], why.body)

hub = InferenceClient(model=f"{url}/embed")
vector = hub.feature_extraction("green tea")
row = vector[0] if getattr(vector, "ndim", 1) == 2 else vector
holds(cosine([float(x) for x in row], tea) > 0.9999, "the same vector through both clients")
hub = InferenceClient(model=f"{url}/similarity")
scores = hub.sentence_similarity("green tea", other_sentences=["black tea", "a garden hose"])
holds(abs(scores[0] - cosine(tea, black)) < 1e-4 and scores[0] > scores[1], scores)

# Many at once: each gets its own.
found, threads = {}, []
for i in range(24):
    ask = lambda i=i: found.update({i: client.embeddings.create(model="all-MiniLM-L6-v2", input=[f"tea number {i}"] * (1 + i % 5), encoding_format="float")})
    threads.append(threading.Thread(target=ask))
[thread.start() for thread in threads]
[thread.join() for thread in threads]
for i, answer in found.items():
    alone = client.embeddings.create(model="all-MiniLM-L6-v2", input=f"tea number {i}", encoding_format="float").data[0].embedding
    holds(len(answer.data) == 1 + i % 5 and all(cosine(one.embedding, alone) > 0.9999 for one in answer.data), i)
holds(len(found) == 24, found.keys())
print(f"{held} statements about the answers hold")
