// Mistakes that the types must catch; the compiler refuses an expectation that no error meets.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const api = createClient<paths>({ baseUrl: "" });

// @ts-expect-error: no such path
await api.GET("/api/v1/users/you");

// @ts-expect-error: the password is missing
await api.POST("/api/v1/auth/register", { body: { email: "a@example.com" } });

// @ts-expect-error: a password is a text
await api.POST("/api/v1/auth/register", { body: { email: "a@example.com", password: 12345678 } });

const me = await api.GET("/api/v1/users/me");
// @ts-expect-error: no such field in the answer
console.log(me.data?.hashed_password);

// @ts-expect-error: there is no data before the error is looked at
console.log(me.data.email);
