// Registers, logs in and asks who it is, by types made from the OpenAPI document. Arguments: address, e-mail, password.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

type User = components["schemas"]["UserRead"];

const [, , baseUrl = "", email = "", password = ""] = process.argv;
const api = createClient<paths>({ baseUrl });

async function signIn(): Promise<string> {
  const { data, error } = await api.POST("/api/v1/auth/login", { body: { email, password, device_name: "check" } });
  if (error) throw new Error(`${error.code}: ${error.title}`);
  return data.access_token;
}

async function whoAmI(accessToken: string): Promise<User> {
  const { data, error } = await api.GET("/api/v1/users/me", { headers: { Authorization: `Bearer ${accessToken}` } });
  if (error) throw new Error(`${error.code}: ${error.title}`);
  return data;
}

const account = { email, password, full_name: "Ada Lovelace" };
const first = await api.POST("/api/v1/auth/register", { body: account });
const second = await api.POST("/api/v1/auth/register", { body: account });
const me = await whoAmI(await signIn());
const id = first.data && "id" in first.data ? first.data.id : undefined; // else a mail says how to go on
console.log(JSON.stringify({ id, refusal: second.error?.code, me }));
