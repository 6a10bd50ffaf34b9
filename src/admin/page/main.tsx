import { render } from "preact";
import { App } from "./app.js";
import "./style.css";
import "./figures.css";
import "./lists.css";
import "./details.css";
import "./cards.css";

const root = document.getElementById("app");
if (root) render(<App />, root);
