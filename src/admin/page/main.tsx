import { render } from "preact";
import { App } from "./app.js";
import "./style.css";
import "./figures.css";
import "./lists.css";

const place = document.getElementById("app");
if (place) render(<App />, place);
