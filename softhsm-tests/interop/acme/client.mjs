// acme-client (npm) through its own interface: issue over each challenge, wildcard, address, EAB, again, revoke.
// usage: node client.mjs CASE NAME..., the rest in the environment
import { createRequire } from 'node:module';
import fs from 'node:fs';
import http from 'node:http';
import tls from 'node:tls';

const require = createRequire(`${process.env.MODULES}/package.json`);
const acme = require('acme-client');
const { DIRECTORY, HTTP_PORT, TLS_PORT, ORDERS_PORT, EAB_KID, EAB_KEY, OUT } = process.env;
const [kind, ...names] = process.argv.slice(2);

const stub = async (what, body) => {
    const answer = await fetch(`http://127.0.0.1:${ORDERS_PORT}/${what}`, { method: 'POST', body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`the stub answers ${answer.status}`);
};

const answers = new Map();
const listening = (server, port) => new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(port, '127.0.0.1', done);
});
const servers = [];
if (kind === 'http-01') {
    const web = http.createServer((request, response) => {
        const found = answers.get(request.url.split('/').pop());
        response.writeHead(found ? 200 : 404);
        response.end(found ?? '');
    });
    await listening(web, HTTP_PORT);
    servers.push(web);
}
if (kind === 'tls-alpn-01') {
    const server = tls.createServer({
        ALPNProtocols: ['acme-tls/1'],
        SNICallback: (name, done) => {
            const found = answers.get(name);
            done(found ? null : new Error(`nothing for ${name}`), found && tls.createSecureContext(found));
        },
    });
    server.on('tlsClientError', () => {});
    await listening(server, TLS_PORT);
    servers.push(server);
}

const reverse = (address) => `${address.split('.').reverse().join('.')}.in-addr.arpa`;
const put = async (authorization, challenge, keyAuthorization) => {
    const name = authorization.identifier.value;
    if (kind === 'http-01') answers.set(challenge.token, keyAuthorization);
    if (kind === 'dns-01') await stub('add', { name: `_acme-challenge.${name}`, text: keyAuthorization });
    if (kind === 'tls-alpn-01') {
        const [key, cert] = await acme.crypto.createAlpnCertificate(authorization, keyAuthorization);
        answers.set(authorization.identifier.type === 'ip' ? reverse(name) : name, { key, cert });
    }
};

const external = EAB_KID ? { externalAccountBinding: { kid: EAB_KID, hmacKey: EAB_KEY } } : {};
const client = new acme.Client({
    directoryUrl: DIRECTORY,
    accountKey: await acme.crypto.createPrivateEcdsaKey(),
    backoffMin: 200,
    backoffMax: 1000,
    ...external,
});
await client.createAccount({ termsOfServiceAgreed: true, contact: ['mailto:admin@a.test'] });

const isAddress = (name) => /^[0-9.]+$/.test(name);
const issue = async () => {
    const identifiers = names.map((value) => ({ type: isAddress(value) ? 'ip' : 'dns', value }));
    const order = await client.createOrder({ identifiers });
    for (const authorization of await client.getAuthorizations(order)) {
        if (authorization.status !== 'valid') {
            const challenge = authorization.challenges.find((offered) => offered.type === kind);
            await put(authorization, challenge, await client.getChallengeKeyAuthorization(challenge));
            await client.completeChallenge(challenge);
            await client.waitForValidStatus(challenge);
        }
    }
    const [, csr] = await acme.crypto.createCsr({ altNames: names });
    return client.getCertificate(await client.finalizeOrder(order, csr));
};

await issue();
const certificate = await issue();
fs.writeFileSync(OUT, certificate);
await client.revokeCertificate(certificate, { reason: 4 });
for (const server of servers) server.close();
process.exit(0);
