// SPDX-License-Identifier: Apache-2.0
// Cases of the official OpenAI Node client against Sluice. `node openai_client.mjs --list` prints their names;
// `node openai_client.mjs URL CASE` runs one and exits 0 when it passes. openai_node_test.py drives it.
import assert from "node:assert/strict";
import OpenAI from "openai";

const messages = [{ role: "user", content: "Tell me about rivers." }];
const base = { model: "tiny", messages, max_tokens: 24, temperature: 0, ignore_eos: true };

async function joined(stream) {
  let text = "", finish = null, usage = null;
  for await (const chunk of stream) {
    usage = chunk.usage ?? usage;
    for (const choice of chunk.choices) {
      text += choice.delta.content ?? "";
      finish = choice.finish_reason ?? finish;
    }
  }
  return { text, finish, usage };
}

const cases = {
  async models(client) {
    const models = await client.models.list();
    assert.deepEqual(models.data.map((model) => model.id), ["tiny"]);
  },

  async chat(client) {
    const answer = await client.chat.completions.create(base);
    assert.equal(answer.object, "chat.completion");
    assert.equal(answer.choices[0].finish_reason, "length");
    assert.equal(answer.usage.completion_tokens, 24);
  },

  async chat_stream_equals_chat(client) {
    const options = { ...base, temperature: 1, seed: 5 };
    const answer = await client.chat.completions.create(options);
    const stream = await client.chat.completions.create(
      { ...options, stream: true, stream_options: { include_usage: true } });
    const { text, finish, usage } = await joined(stream);
    assert.equal(text, answer.choices[0].message.content);
    assert.equal(finish, answer.choices[0].finish_reason);
    assert.deepEqual(usage, answer.usage);
  },

  async n_and_logprobs(client) {
    const answer = await client.chat.completions.create(
      { ...base, temperature: 1, seed: 1, n: 2, logprobs: true, top_logprobs: 2 });
    assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1]);
    for (const choice of answer.choices) {
      assert.equal(choice.logprobs.content.length, 24);
      assert.equal(choice.logprobs.content[0].top_logprobs.length, 2);
    }
  },

  async tools(client) {
    const tools = [{ type: "function", function: {
      name: "weather", parameters: { type: "object", properties: { place: { type: "string" } } } } }];
    const plain = await client.chat.completions.create(base);
    const answer = await client.chat.completions.create({ ...base, tools });
    assert.ok(answer.usage.prompt_tokens > plain.usage.prompt_tokens + 50);
  },

  async stop(client) {
    const whole = (await client.chat.completions.create(base)).choices[0].message.content;
    const stop = whole.slice(whole.length / 2, whole.length / 2 + 3);
    const cut = (await client.chat.completions.create({ ...base, stop })).choices[0];
    assert.equal(cut.message.content, whole.slice(0, whole.indexOf(stop)));
    assert.equal(cut.finish_reason, "stop");
  },

  async typed_errors(client) {
    await assert.rejects(client.chat.completions.create({ ...base, temperature: -1 }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.status, 400);
      assert.equal(error.param, "temperature");
      return true;
    });
    await assert.rejects(client.chat.completions.create({ ...base, model: "another" }), OpenAI.NotFoundError);
  },

  async completions(client) {
    const options = { model: "tiny", prompt: "The river", max_tokens: 12, temperature: 0, ignore_eos: true };
    const answer = await client.completions.create(options);
    let text = "";
    for await (const piece of await client.completions.create({ ...options, stream: true })) {
      text += piece.choices[0]?.text ?? "";
    }
    assert.equal(text, answer.choices[0].text);
  },

  async an_aborted_stream_leaves_the_client_usable(client) {
    const stream = await client.chat.completions.create({ ...base, max_tokens: 1000, stream: true });
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) break; // leaving the loop aborts the request
    }
    assert.equal((await client.models.list()).data[0].id, "tiny");
  },
};

const [url, name] = process.argv.slice(2);
if (url === "--list") {
  console.log(Object.keys(cases).join("\n"));
} else {
  await cases[name](new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 }));
}
