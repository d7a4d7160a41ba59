const place = (id) => document.getElementById(id);
const REFRESH_MS = 2000;

async function ask(path) {
  const key = sessionStorage.getItem('holdfast.key');
  const answer = await fetch(`../api/${path}`, { headers: key ? { Authorization: `Bearer ${key}` } : {} });
  const body = await answer.json();
  place('login').hidden = answer.status !== 401;
  if (!answer.ok) throw new Error(body.reason);
  return body;
}

function show(figures) {
  place('figures').replaceChildren(...Object.entries(figures).map(([name, value]) => {
    const row = document.createElement('tr');
    row.append(...[name, value].map((text) => Object.assign(document.createElement('td'), { textContent: text })));
    return row;
  }));
}

async function refresh() {
  try {
    const [access, stats] = [await ask('access'), await ask('stats')];
    const { connections, sessions, channels } = stats.total;
    show({ version: access.version, right: access.right, workers: access.workers, connections, sessions, channels });
    place('problem').textContent = '';
  } catch (error) {
    place('problem').textContent = error.message;
  }
}

place('login').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem('holdfast.key', place('key').value);
  refresh();
});
refresh();
setInterval(() => { if (place('login').hidden) refresh(); }, REFRESH_MS);
